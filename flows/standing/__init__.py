"""The standing platform on one machine: a supervisor and the services that it keeps running (`xray up`)."""
