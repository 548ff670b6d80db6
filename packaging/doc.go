// Package packaging is how the archiver gets onto a machine: the Debian package
// (nfpm.yaml, scripts), and the tests of what lies beside it in systemd and deploy.
//
//	go test ./packaging             what unit files, Compose and Kubernetes promise of the archiver
//	packaging/check                 the same files by the schemas of those who read them; a module of its own
//	packaging/test-install.sh       the package's life on this machine: install, upgrade, remove, purge
//	packaging/test-image.sh         the binary alone in a directory, as in the image
//	packaging/as-unit.sh            a command as archiver.service would run it, without systemd
//
// The package holds no code.
package packaging
