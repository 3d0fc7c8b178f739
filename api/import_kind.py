"""The import kind in the API: showing jobs with the progress of their record types."""

from api.examples import IMPORT_EXAMPLE
from api.import_previews import ImportPreviews
from api.kinds import JobKind
from api.schemas.imports import IMPORT_SUBMISSION
from api.schemas.jobs import Job
from db.built_in_kinds import IMPORT
from db.engine import Engine
from db.import_progress import read_import
from db.jobs import JobRead
from domain import import_reading
from domain.registry import Registry


async def show(database: Engine, job: JobRead, _: Registry) -> Job:
    """Return an import with its progress by record type."""
    return Job.of(job, import_reading.KIND.parts, await read_import(database, job.job_no))


KIND = JobKind(
    spec=import_reading.KIND,
    stored=IMPORT,
    body_schema=IMPORT_SUBMISSION,
    body_examples={"import": {"summary": "Files, one of which depends on the other", "value": IMPORT_EXAMPLE}},
    show=show,
    open_preview=lambda sources: ImportPreviews(sources).count,
)
