"""Results to figures and pages that a person reads."""
