"""Counts what all services did, prices it, and holds the count against the services' own books; needs PostgreSQL or MongoDB, and the
addresses of the services for their books."""
