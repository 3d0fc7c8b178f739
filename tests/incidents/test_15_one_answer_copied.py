"""Incident 15: 18 rows with one answer, copied by a loop. Each row stems from its own question in its own region."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.workers import Fleet


async def test_each_of_18_rows_holds_its_own_answer(fleet: Fleet, connection) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=0.05)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=3, regions=3, questions=2)]))
    await all_ended(connection)
    rows = await connection.fetch(
        """
        SELECT s.model_ids[e.model_no + 1] AS model, s.region_ids[e.region_no + 1] AS region, e.question_no, e.output
        FROM executions AS e
        JOIN specs AS s USING (job_no)
        """
    )
    answers = {(row["model"], row["region"], row["question_no"]): row["output"] for row in rows}
    assert len(answers) == len(set(answers.values())) == 18
    for (model, region, n), answer in answers.items():
        assert answer == f"{model} in {region}: What is {n} plus {n}?"
    await assert_audit(connection)
