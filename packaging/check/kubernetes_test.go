package check

import (
	"errors"
	"os"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// manifests decodes deploy/kubernetes.yaml; an unknown or repeated key is an
// error.
func manifests(t *testing.T, text string) (map[string]any, error) {
	t.Helper()
	kinds := map[string]any{
		"Secret": &core.Secret{}, "ConfigMap": &core.ConfigMap{},
		"Service": &core.Service{}, "StatefulSet": &apps.StatefulSet{},
	}
	versions := map[string]string{"Secret": "v1", "ConfigMap": "v1", "Service": "v1", "StatefulSet": "apps/v1"}
	found := map[string]any{}
	for _, doc := range strings.Split(text, "\n---\n") {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			return nil, err
		}
		into, ok := kinds[head.Kind]
		if !ok || found[head.Kind] != nil || versions[head.Kind] != head.APIVersion {
			t.Fatalf("unexpected %s %s", head.APIVersion, head.Kind)
		}
		// The API server's own decoder: unlike encoding/json it minds the case.
		text, err := yaml.YAMLToJSONStrict([]byte(doc))
		if err != nil {
			return nil, err
		}
		unknown, err := json.UnmarshalStrict(text, into)
		if err := errors.Join(append(unknown, err)...); err != nil {
			return nil, err
		}
		found[head.Kind] = into
	}
	if len(found) != len(kinds) {
		t.Fatalf("only %d of %d kinds are there", len(found), len(kinds))
	}
	return found, nil
}

func read(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestKubernetesFile(t *testing.T) {
	found, err := manifests(t, read(t))
	if err != nil {
		t.Fatal(err)
	}
	set, service := found["StatefulSet"].(*apps.StatefulSet), found["Service"].(*core.Service)
	pod := set.Spec.Template
	for what, labels := range map[string]map[string]string{"the StatefulSet": set.Spec.Selector.MatchLabels, "the Service": service.Spec.Selector} {
		if len(labels) == 0 {
			t.Errorf("%s selects nothing", what)
		}
		for name, value := range labels {
			if pod.Labels[name] != value {
				t.Errorf("%s selects %s=%s, which the pod has not", what, name, value)
			}
		}
	}
	if *set.Spec.Replicas != 1 || set.Spec.ServiceName != service.Name {
		t.Errorf("%d replicas of service %s", *set.Spec.Replicas, set.Spec.ServiceName)
	}
	if g := pod.Spec.TerminationGracePeriodSeconds; g == nil || *g <= 30 {
		t.Errorf("terminationGracePeriodSeconds is %v, not more than shutdown_grace", g)
	}
	checkContainer(t, set, found)
}

func checkContainer(t *testing.T, set *apps.StatefulSet, found map[string]any) {
	t.Helper()
	pod := set.Spec.Template.Spec
	c := pod.Containers[0]
	if m := c.Resources.Limits.Memory().Value(); m != 128<<20 {
		t.Errorf("memory limit is %d", m)
	}
	sc := c.SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || !*sc.ReadOnlyRootFilesystem || *sc.AllowPrivilegeEscalation || sc.Capabilities.Drop[0] != "ALL" ||
		pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Error("the pod is not closed")
	}
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for path, probe := range map[string]*core.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if probe.HTTPGet.Path != path || !ports[probe.HTTPGet.Port.String()] {
			t.Errorf("probe %v, want %s", probe.HTTPGet, path)
		}
	}
	volumes := map[string]bool{set.Spec.VolumeClaimTemplates[0].Name: true}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		if v.Secret != nil && v.Secret.SecretName != found["Secret"].(*core.Secret).Name || v.ConfigMap != nil && v.ConfigMap.Name != found["ConfigMap"].(*core.ConfigMap).Name {
			t.Errorf("volume %s is of nothing here", v.Name)
		}
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("volume %s is mounted and not there", m.Name)
		}
	}
}

// A key that nobody knows is refused, so that the test above means something.
func TestKubernetesFileWithUnknownKey(t *testing.T) {
	text := strings.Replace(read(t), "runAsNonRoot:", "runAsNonroot:", 1)
	if _, err := manifests(t, text); err == nil {
		t.Error("runAsNonroot is taken")
	}
}
