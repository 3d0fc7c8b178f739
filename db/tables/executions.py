"""Executions, their tries, and the answers."""

from typing import ClassVar

from sqlmodel import SQLModel

from db.tables.column_types import BigKey, Json, MaybeJson, MaybeTime, MaybeWords, Small, SmallKey, Time, Words


class Execution(SQLModel, table=True):
    """One planned cell, with its result once it has ended."""

    __tablename__: ClassVar[str] = "executions"

    job_no: BigKey
    region_no: SmallKey
    model_no: SmallKey
    question_no: SmallKey
    batch_no: int
    status: Words
    attempts: Small
    error_retryable: bool | None
    started_at: MaybeTime
    finished_at: MaybeTime
    provider_used: MaybeWords
    region_served: MaybeWords
    output: MaybeWords
    error_code: MaybeWords
    error_detail: MaybeWords
    key_no: Small
    forgiven: Small
    not_before: MaybeTime
    usage: MaybeJson
    finish_reason: MaybeWords
    is_complete: bool | None
    model_used: MaybeWords
    identity_no: int | None


class Response(SQLModel, table=True):
    """The whole answer to a try of a cell."""

    __tablename__: ClassVar[str] = "responses"

    job_no: BigKey
    region_no: SmallKey
    model_no: SmallKey
    question_no: SmallKey
    attempt_no: SmallKey
    bytes: int
    body: Json


class Attempt(SQLModel, table=True):
    """A try of a cell that ended without ending the cell."""

    __tablename__: ClassVar[str] = "attempts"

    job_no: BigKey
    region_no: SmallKey
    model_no: SmallKey
    question_no: SmallKey
    attempt_no: SmallKey
    started_at: Time
    finished_at: Time
    provider_used: Words
    error_code: Words
    error_detail: Words
    status: Words
    error_retryable: bool
    region_served: MaybeWords
    identity_no: int | None
