package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/google/go-cmp/cmp"
)

const reference = "../../configs/archiver.yaml"

// The reference configuration says what it takes for a default, so it must
// mean the same as a file with nothing but what is required.
func TestReferenceEqualsDefaults(t *testing.T) {
	full, err := Load(reference, environment)
	if err != nil {
		t.Fatal(err)
	}
	minimal, err := Load("testdata/good/minimal.yaml", environment)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(show(t, minimal), show(t, full)); diff != "" {
		t.Errorf("(-defaults +reference):\n%s", diff)
	}
	if len(full.Warnings) > 0 {
		t.Errorf("warnings: %v", full.Warnings)
	}
}

// Every key of the tables stands in the reference configuration, and no other
// does.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	// a webhook is an example in a comment, because there is none by default
	uncommented := regexp.MustCompile(`(?m)^  #   (- |  )(url|secret|secret_file|events):`).ReplaceAllString(string(text), "    $1$2:")
	uncommented = strings.Replace(uncommented, "  webhooks: []\n", "", 1)
	uncommented = strings.Replace(uncommented, "    - url:", "  webhooks:\n    - url:", 1)
	file, err := parser.ParseBytes([]byte(uncommented), 0)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	collectTree(file.Docs[0].Body, "", &got)

	c := defaults()
	collectTable(c.fields(), "", &want)
	tenant := newTenant("acme", Storage{})
	want = append(want, "tenants.acme")
	collectTable(slices.DeleteFunc(tenant.fields(), func(f field) bool { return f.key == "storage" }), "tenants.acme.", &want)
	want = append(want, "tenants.acme.storage")
	collectTable((&Webhook{}).fields(), "notify.webhooks.", &want)
	for _, section := range [][]field{c.Storage.fields(), c.Poll.fields(), c.Transfer.fields()} {
		if len(section) < 7 {
			t.Fatal("the tables are not being looked at")
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-tables +reference):\n%s", diff)
	}
}

func collectTree(n ast.Node, path string, keys *[]string) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			key := path + v.Key.GetToken().Value
			*keys = append(*keys, key)
			collectTree(v.Value, key+".", keys)
		}
	case *ast.SequenceNode:
		for _, v := range n.Values {
			collectTree(v, path, keys)
		}
	}
}

// collectTable lists the keys of a table and of the tables below it.
func collectTable(fields []field, path string, keys *[]string) {
	for _, f := range fields {
		*keys = append(*keys, path+f.key)
		collectTable(f.below, path+f.key+".", keys)
	}
}

func TestDefaultTemplatesParse(t *testing.T) {
	s := defaults().Storage
	if s.Key == nil || s.ManifestKey == nil {
		t.Error("a default template is wrong")
	}
}

func TestAutoMemory(t *testing.T) {
	for _, test := range []struct {
		limit uint64
		err   error
		want  int64
	}{
		{0, errors.New("none"), 128 * mib},
		{1 << 63, nil, 128 * mib},
		{320 << 20, nil, 128 * mib},
		{320<<20 - 5, nil, 128*mib - 2},
		{100 << 20, nil, 40 * mib},
		{0, nil, 0},
	} {
		if got := autoMemory(func() (uint64, error) { return test.limit, test.err }); got != test.want {
			t.Errorf("a limit of %d, %v: %d, want %d", test.limit, test.err, got, test.want)
		}
	}
}

// A container's image may have no zones at all.
func TestZonesAreBuiltIn(t *testing.T) {
	t.Setenv("ZONEINFO", filepath.Join(t.TempDir(), "none"))
	if _, err := Load("testdata/good/everything.yaml", environment); err != nil {
		t.Error(err)
	}
}
