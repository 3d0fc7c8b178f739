"""The pages under `/ui`: what the JSON routes answer, for people.

A page calls the function of the JSON route that answers the same question, so both tell the same; its forms call the
API by `api/ui/static/page.js`.
"""
