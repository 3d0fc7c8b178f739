"""The types of columns, named by PostgreSQL's type, nullability and key."""

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, DateTime, Double, Integer, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field

Big = Annotated[int, Field(sa_type=BigInteger)]
Small = Annotated[int, Field(sa_type=SmallInteger)]
Words = Annotated[str, Field(sa_type=Text)]
Real = Annotated[float, Field(sa_type=Double)]
Time = Annotated[datetime, Field(sa_type=DateTime(timezone=True))]
MaybeNumbers = Annotated[list[int] | None, Field(sa_type=ARRAY(Integer), nullable=True)]
Numbers = Annotated[list[int], Field(sa_type=ARRAY(Integer))]
Names = Annotated[list[str], Field(sa_type=ARRAY(Text))]
MaybeNames = Annotated[list[str] | None, Field(sa_type=ARRAY(Text), nullable=True)]
MaybeBig = Annotated[int | None, Field(sa_type=BigInteger)]
MaybeSmall = Annotated[int | None, Field(sa_type=SmallInteger)]
MaybeWords = Annotated[str | None, Field(sa_type=Text)]
MaybeTime = Annotated[datetime | None, Field(sa_type=DateTime(timezone=True))]
Json = Annotated[Any, Field(sa_type=JSON, nullable=False)]
MaybeJson = Annotated[Any, Field(sa_type=JSON, nullable=True)]
BigKey = Annotated[int, Field(sa_type=BigInteger, primary_key=True)]
IntKey = Annotated[int, Field(sa_type=Integer, primary_key=True)]
SmallKey = Annotated[int, Field(sa_type=SmallInteger, primary_key=True)]
WordsKey = Annotated[str, Field(sa_type=Text, primary_key=True)]
TimeKey = Annotated[datetime, Field(sa_type=DateTime(timezone=True), primary_key=True)]
