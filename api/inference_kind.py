"""The inference kind in the API: showing jobs with the holds of their cells."""

from api.examples import BENCHMARK_EXAMPLE, INFERENCE_EXAMPLE
from api.holds import held_by, named_pools
from api.kinds import JobKind
from api.schemas.jobs import Held, Job
from api.schemas.submissions import JOB_SUBMISSION
from db.built_in_kinds import INFERENCE
from db.engine import Engine
from db.holds import read_holds
from db.jobs import JobRead
from domain import inference_reading
from domain.registry import Registry


async def show(database: Engine, job: JobRead, registry: Registry) -> Job:
    """Return an inference job, with its hold while it is open."""
    held = await _held(database, job, registry) if job.finished_at is None else None
    return Job.of(job, inference_reading.KIND.parts, held=held)


async def _held(database: Engine, job: JobRead, registry: Registry) -> Held | None:
    named = named_pools(job.spec, registry) if job.started_at is None else []
    return held_by(await read_holds(database, job.job_no, named), job.queued_at)


KIND = JobKind(
    spec=inference_reading.KIND,
    stored=INFERENCE,
    body_schema=JOB_SUBMISSION,
    body_examples={
        "inference": {"summary": "Models × regions × questions", "value": INFERENCE_EXAMPLE},
        "benchmark": {"summary": "The benchmark layout, with duplicates", "value": BENCHMARK_EXAMPLE},
    },
    show=show,
)
