"""The generic assertions are left out: what is asserted is up to the overlay."""

SKIP_GENERIC = True
