"""Whether Redis answers, and which version of it."""

from broker.envelopes import Client


async def version(client: Client) -> str:
    """Return the server's name and version; raises BrokerError where it doesn't answer."""
    facts = await client.info("server")
    name = facts.get("server_name", "redis")
    return f"{name} {facts.get(f'{name}_version') or facts['redis_version']}"
