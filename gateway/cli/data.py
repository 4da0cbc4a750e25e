"""`remit import` and `remit sample`: fill the embedded back ends."""
