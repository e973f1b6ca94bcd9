"""Use cases: `async def verb(ctx, input) -> record`. `http`, `web` and `cli` all call them."""
