package state_test

import (
	"testing"

	"archiver/internal/state"
)

// TestObjectSame: what is not known contradicts nothing.
func TestObjectSame(t *testing.T) {
	t.Parallel()
	known := state.Object{ETag: "e", VersionID: "v", LastModified: at(1)}
	answered := state.Object{ETag: "e"} // into a bucket whose versioning is suspended
	for name, c := range map[string]struct {
		a, b state.Object
		want bool
	}{
		"itself":           {known, known, true},
		"another ETag":     {known, state.Object{ETag: "f", VersionID: "v", LastModified: at(1)}, false},
		"another version":  {known, state.Object{ETag: "e", VersionID: "w", LastModified: at(1)}, false},
		"no version":       {known, state.Object{ETag: "e", LastModified: at(1)}, false},
		"the null version": {answered, state.Object{ETag: "e", VersionID: "null", LastModified: at(1)}, true},
		"another time":     {known, state.Object{ETag: "e", VersionID: "v", LastModified: at(2)}, false},
		"an unknown time":  {known, state.Object{ETag: "e", VersionID: "v"}, true},
	} {
		if c.a.Same(c.b) != c.want || c.b.Same(c.a) != c.want {
			t.Errorf("%s: %v, want %v", name, !c.want, c.want)
		}
	}
}
