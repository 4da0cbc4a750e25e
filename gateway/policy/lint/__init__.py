"""What `remit check` warns of: rules that never decide, conditions that never or always hold, loose ends."""
