"""Who may pass: enrolment, identification, the policy, signed decisions and their record."""
