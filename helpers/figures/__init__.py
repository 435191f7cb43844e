"""Every plot, drawn from plain arrays on a new figure, which becomes pyplot's current one."""
