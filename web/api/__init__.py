"""The native REST door, `/api/v1`."""
