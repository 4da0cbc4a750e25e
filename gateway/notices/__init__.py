"""Tells approvers that something waits for them: a link and no contents, by mail or by a signed webhook."""
