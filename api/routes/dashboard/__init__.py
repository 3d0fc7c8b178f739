"""The pages under `/ui`: what the JSON routes answer, for people.

A page calls the function of the JSON route that answers the same question, so both tell the same; its forms call the
API by `api/ui/static/page.js`.
"""

from api.routes.dashboard import cells, datasets, imports, job, jobs, keys, operations, overview, queue, submit

PAGES = (overview, jobs, job, cells, submit, queue, operations, keys, datasets, imports)
"""The modules of pages, each with its `router`."""
