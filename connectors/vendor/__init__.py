"""What back ends on other companies' systems share: their declaration, one way to speak HTTP, and ids."""
