package daemon

import "time"

// Beats is what Alive says of the loops at now.
func (d *Daemon) Beats(now time.Time) error { return d.beats(now) }
