"""Jira Service Management Cloud as a help desk: one service project for one tenant."""
