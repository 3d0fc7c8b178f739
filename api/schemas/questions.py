"""Questions of the bank as they are shown."""

from pydantic import BaseModel

from api.paging import Listed


class Question(BaseModel):
    """A question that specs may name by its id alone."""

    id: str
    text: str


class QuestionList(Listed[Question]):
    """The question bank, as it is configured."""
