"""Who may pass: enrolment, identification, and a decision that a door can trust."""
