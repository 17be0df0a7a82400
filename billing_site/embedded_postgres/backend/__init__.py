"""Database backend: ENGINE = "billing_site.embedded_postgres.backend"."""
