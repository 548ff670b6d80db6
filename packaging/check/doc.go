// Package check holds the files in deploy against the schemas of those who read
// them: the Compose specification's, and the types of the Kubernetes API.
//
// It is a module of its own, so that these libraries, larger than the archiver,
// are nothing that the archiver's module knows of. What the files promise about
// the archiver itself is tested in packaging, without them.
//
//	cd packaging/check && go test ./...
package check
