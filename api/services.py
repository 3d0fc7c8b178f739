"""The services of this process: the stores and objects that the composition root opens for requests."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from api.activity import ActivityView
from api.authentication import Authenticator
from api.downloads import Downloads
from api.event_streams import EventStreams
from api.fair_places import FairPlaces
from api.fleet import FleetView
from api.job_waits import JobWaits
from api.kinds import CountPlan, Kinds
from api.large_pages import LargePages
from api.page_sessions import PageSessions
from api.pauses import Pauses
from api.rate_limits import RequestLimits
from api.readiness import Readiness
from api.refusal_log import RefusalLog
from api.registration import Registration
from api.role_check import RoleCheck
from api.single_sign_on import SingleSignOn
from api.turns import Turns
from broker.envelopes import Client
from configuration.in_force import InForceReader
from db.engine import Engine
from db.shares import Shares
from runtime.settings import Settings
from submissions.announcing import Announcer
from submissions.service import Submissions


@dataclass(frozen=True, slots=True)
class Services:
    """The stores and the objects that use them.

    `shares` bound what one tenant holds of `engine`. `authenticator` and `role_check` are None while authentication is
    off. `worker_no` gives the process's number in the register, `action_places` bound the actions that wait for locks,
    and `action_shares` those of one tenant. `previews` count for dry runs, by kind. `single_sign_on` is None unless
    people can sign in at an identity provider.
    """

    settings: Settings
    engine: Engine
    shares: Shares
    authenticator: Authenticator | None
    role_check: RoleCheck | None
    request_limits: RequestLimits
    page_sessions: PageSessions
    single_sign_on: SingleSignOn | None
    redis: Client
    registration: Registration
    refusal_log: RefusalLog
    worker_no: Callable[[], Awaitable[int]]
    event_streams: EventStreams
    job_waits: JobWaits
    in_force: InForceReader
    pauses: Pauses
    submissions: Submissions
    announcer: Announcer
    action_places: FairPlaces
    action_shares: Shares
    kinds: Kinds
    previews: Mapping[str, CountPlan]
    downloads: Downloads
    large_pages: LargePages
    fleet: FleetView
    activity: ActivityView
    readiness: Readiness
    turns: Turns = field(default_factory=Turns)
