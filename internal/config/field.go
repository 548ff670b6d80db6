package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"archiver/internal/objectkey"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// A field is one key of a section: how its value is read and how Show prints
// it.
type field struct {
	key  string
	read func(d *decoder, n ast.Node, path string)
	show func() (value any, ok bool) // ok is false for the form of a secret that wasn't used
	late bool                        // read behind its neighbours, because it needs what they hold

	below []field // of a group
}

// value makes the field of one plain value. Errors of read continue the text
// that was given: `"x" is not a size`.
func value[T any](key string, dst *T, read func(scalar) (T, error), show func(T) any) field {
	return field{
		key: key,
		read: func(d *decoder, n ast.Node, path string) {
			s, ok := d.scalar(n, path)
			if !ok {
				return
			}
			v, err := read(s)
			if err != nil {
				d.problem(path, position(n), "%s %v", s.quoted(), err)
				return
			}
			*dst = v
		},
		show: func() (any, bool) { return show(*dst), true },
	}
}

// quoted is the value for a message: as it was written, since a variable may
// hold a secret that was put into the wrong place.
func (s scalar) quoted() string {
	if s.flexible {
		return fmt.Sprintf("%q, put in,", s.written)
	}
	return fmt.Sprintf("%q", withoutSecrets(s.text))
}

// withoutSecrets is a value as a message may quote it: an URL may carry a
// password.
func withoutSecrets(text string) string {
	return newExcerpts(strings.ReplaceAll(text, "\n", " ")).line(1)
}

func same[T any](v T) any { return v }

// texts that YAML takes for numbers are taken as they stand (a tenant's auth
// is "800"); booleans are not, because nobody means the text "true".
func plain(s scalar) (string, error) {
	if s.typed == ast.BoolType {
		return "", errors.New("is true or false, where text is wanted; put it into quotes if you mean it")
	}
	return s.text, nil
}

// text is a field of text that passes all checks. An empty one is checked,
// too, unless optional wraps the check.
func text(key string, dst *string, checks ...func(string) error) field {
	return value(key, dst, func(s scalar) (string, error) {
		t, err := plain(s)
		for _, check := range checks {
			if err == nil {
				err = check(t)
			}
		}
		return t, err
	}, same)
}

// path is a field with the path of a file.
func path(key string, dst *string, check func(string) error) field {
	f := text(key, dst, noControls)
	read := f.read
	f.read = func(d *decoder, n ast.Node, at string) {
		before := *dst
		read(d, n, at)
		if !d.fine(at) {
			return
		}
		*dst = d.beside(*dst)
		if err := check(*dst); err != nil {
			*dst = before
			d.problem(at, position(n), "%v", err)
		}
	}
	return f
}

// number is a field of a whole number from low to high.
func number(key string, dst *int, low, high int) field {
	return value(key, dst, func(s scalar) (int, error) {
		n, err := strconv.Atoi(s.text)
		if err != nil || s.typed != ast.IntegerType && !s.flexible {
			return 0, errors.New("is not a whole number")
		}
		if n < low || n > high {
			return 0, fmt.Errorf("is not between %d and %d", low, high)
		}
		return n, nil
	}, same)
}

// decimal is a field of a number above 0 up to high.
func decimal(key string, dst *float64, high float64) field {
	return value(key, dst, func(s scalar) (float64, error) {
		f, err := strconv.ParseFloat(s.text, 64)
		if err != nil || s.typed == ast.BoolType {
			return 0, errors.New("is not a number")
		}
		if !(f > 0 && f <= high) { // refuses NaN, too
			return 0, fmt.Errorf("is not more than 0 and at most %v", high)
		}
		return f, nil
	}, func(f float64) any {
		if f == math.Trunc(f) {
			return int64(f) // 5, not 5.0
		}
		return f
	})
}

// boolean is a field that is true or false.
func boolean(key string, dst *bool) field {
	return value(key, dst, func(s scalar) (bool, error) {
		if s.text != "true" && s.text != "false" || s.typed != ast.BoolType && !s.flexible {
			return false, errors.New("is neither true nor false")
		}
		return s.text == "true", nil
	}, same)
}

// choice is a field of one of a few texts.
func choice(key string, dst *string, allowed ...string) field {
	return text(key, dst, func(t string) error {
		if !slices.Contains(allowed, t) {
			return fmt.Errorf("is not one of %s", quoteEmpty(allowed))
		}
		return nil
	})
}

func quoteEmpty(names []string) string {
	list := strings.Join(names, ", ")
	if slices.Contains(names, "") {
		list = `""` + list
	}
	return list
}

// duration is a field of a duration of at least low.
func duration(key string, dst *time.Duration, low time.Duration) field {
	return value(key, dst, func(s scalar) (time.Duration, error) { return atLeast(s, low) }, func(d time.Duration) any { return formatDuration(d) })
}

// retention is a duration that may be "", for unknown.
func retention(key string, dst *time.Duration) field {
	return value(key, dst, func(s scalar) (time.Duration, error) {
		if s.text == "" {
			return 0, nil
		}
		return atLeast(s, time.Second)
	}, func(d time.Duration) any {
		if d == 0 {
			return ""
		}
		return formatDuration(d)
	})
}

func atLeast(s scalar, low time.Duration) (time.Duration, error) {
	d, err := ParseDuration(s.text)
	if err == nil && d < low {
		err = fmt.Errorf("is less than %s", formatDuration(low))
	}
	return d, err
}

// durations is a field of a list of durations, each more than the one before.
func durations(key string, dst *[]time.Duration) field {
	return field{
		key: key,
		read: func(d *decoder, n ast.Node, path string) {
			list := []time.Duration{}
			for i, item := range d.items(n, path) {
				var v time.Duration
				duration("", &v, time.Second).read(d, item, element(path, i))
				if !d.fine(element(path, i)) {
					d.bad[path] = true
					continue
				}
				if len(list) > 0 && v <= list[len(list)-1] {
					d.problem(element(path, i), position(item), "%s is not more than the one before it, %s", formatDuration(v), formatDuration(list[len(list)-1]))
				}
				list = append(list, v)
			}
			*dst = list
		},
		show: func() (any, bool) {
			list := make([]string, 0, len(*dst))
			for _, d := range *dst {
				list = append(list, formatDuration(d))
			}
			return list, true
		},
	}
}

// size is a field of a number of bytes from low to high.
func size(key string, dst *int64, low, high int64) field {
	return value(key, dst, func(s scalar) (int64, error) { return between(s, low, high) }, func(n int64) any { return formatSize(n) })
}

func between(s scalar, low, high int64) (int64, error) {
	n, err := parseSize(s.text)
	if err == nil && (n < low || n > high) {
		err = fmt.Errorf("is not between %s and %s", formatSize(low), formatSize(high))
	}
	return n, err
}

// texts is a field of a list of texts.
func texts(key string, dst *[]string, check func(string) error) field {
	return field{
		key: key,
		read: func(d *decoder, n ast.Node, path string) {
			list := []string{}
			for i, item := range d.items(n, path) {
				var t string
				text("", &t, check).read(d, item, element(path, i))
				list = append(list, t)
			}
			*dst = list
		},
		show: func() (any, bool) { return slices.Concat([]string{}, *dst), true },
	}
}

// pairs is a field of names with texts, replaced as a whole where a tenant
// overrides it.
func pairs(key string, dst *map[string]string, highest int, checkName, checkText func(string) error) field {
	return field{
		key: key,
		read: func(d *decoder, n ast.Node, path string) {
			all := map[string]string{}
			for _, e := range d.entries(n, path) {
				var t string
				if err := checkName(e.name); err != nil {
					d.problem(join(path, e.name), e.key.Position, "the name %v", err)
				}
				text("", &t, checkText).read(d, e.value, join(path, e.name))
				all[e.name] = t
			}
			if len(all) > highest {
				d.problem(path, nil, "has %d entries; at most %d are allowed", len(all), highest)
			}
			*dst = all
		},
		show: func() (any, bool) { return *dst, true },
	}
}

// zone is a field with the name of a time zone.
func zone(key string, dst **time.Location) field {
	return value(key, dst, func(s scalar) (*time.Location, error) {
		if s.text == "" || s.text == "Local" {
			return nil, errors.New("doesn't name a zone; write one such as UTC or Asia/Shanghai")
		}
		l, err := time.LoadLocation(s.text)
		if err != nil {
			return nil, errors.New("is not a zone of the IANA time zone database, such as UTC or Asia/Shanghai")
		}
		return l, nil
	}, func(l *time.Location) any { return l.String() })
}

// template is a field with a template for object keys.
func template(key string, dst **objectkey.Template, parse func(string) (*objectkey.Template, error)) field {
	return value(key, dst, func(s scalar) (*objectkey.Template, error) {
		t, err := parse(s.text)
		if err != nil {
			err = fmt.Errorf("is not a template for keys: %w", err)
		}
		return t, err
	}, func(t *objectkey.Template) any { return t.String() })
}

// group is a field with a section of its own below it.
func group(key string, fields []field) field {
	return field{
		key:   key,
		read:  func(d *decoder, n ast.Node, path string) { d.section(n, path, fields) },
		show:  func() (any, bool) { return showSection(fields), true },
		below: fields,
	}
}

// secret makes the two fields of a secret: key with the value itself, and
// key_file with a file that holds it.
func secret(key string, dst *Secret, check func(string) error) []field {
	fileKey := key + "_file"
	direct := field{key: key, read: func(d *decoder, n ast.Node, path string) {
		s, ok := d.scalar(n, path)
		if !ok {
			return
		}
		t, err := plain(s)
		if err == nil && t != "" {
			err = check(t)
		}
		if err != nil {
			d.problem(path, position(n), "the value %v", err) // which is not quoted
			return
		}
		d.given[path] = t != ""
		*dst = NewSecret(t)
	}}
	fromFile := field{key: fileKey, read: func(d *decoder, n ast.Node, path string) {
		var file string
		text("", &file, noControls).read(d, n, path)
		if !d.fine(path) || file == "" {
			return
		}
		if d.given[strings.TrimSuffix(path, "_file")] {
			d.problem(path, position(n), "is given beside %s; one of them is enough", key)
			return
		}
		s := secretFile(d.credential(file), check)
		if _, err := s.Reveal(); err != nil {
			d.problem(path, position(n), "%v", err)
			return
		}
		*dst = s
	}}
	direct.show = func() (any, bool) { return dst.String(), dst.path == "" }
	fromFile.show = func() (any, bool) { return dst.path, dst.path != "" }
	return []field{direct, fromFile}
}

// showSection prints a section by its table, keys in the table's order.
func showSection(fields []field) yaml.MapSlice {
	section := yaml.MapSlice{}
	for _, f := range fields {
		if v, ok := f.show(); ok {
			section = append(section, yaml.MapItem{Key: f.key, Value: v})
		}
	}
	return section
}
