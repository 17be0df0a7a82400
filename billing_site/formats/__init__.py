"""How the admin writes moments: short, and in an order that sorts."""
