"""What differs between two policies: lines, access, revisions."""
