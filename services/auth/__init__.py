"""Auth registers people, logs them in and signs the tokens that every service trusts; needs PostgreSQL and the deployment's secret."""
