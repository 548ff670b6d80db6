// Package config reads the archiver's configuration, one YAML file.
//
// A configuration is either right or refused. An unknown key, a key given
// twice, a value of the wrong type, a value that can't work and values that
// don't go together are mistakes, and Load reports all of them at once, each
// with file, line, column and the offending line, so that a person corrects a
// file in one go and SIGHUP never half-applies one.
//
//	file ─parse─▶ syntax tree ─section tables─▶ Config ─cross checks─▶ Config
//	                   │               │                      │
//	                   └───────────────┴──── Problem ─────────┘─▶ *Invalid
//
// Every key exists once, as a row of a table in schema.go that says where the
// value is stored, what is allowed, and how Show prints it. Defaults stand in
// defaults.go. Whatever depends on more than one key is in cross.go.
//
// # Environment
//
// ${NAME} in a value takes the environment variable NAME; an unset one is a
// mistake. It is put in after the YAML was read, so what a variable holds
// can't change the structure of the file. $${ stands for ${ itself. Within
// {…} YAML wants quotes around it.
//
// # Secrets
//
// A secret x may be given as x_file instead. A relative x_file is looked for
// in $CREDENTIALS_DIRECTORY (systemd's LoadCredential) and then beside the
// configuration. Files are read again when they change, so a rotated key needs
// no restart. A Secret prints as <secret> wherever it is printed, and the lines
// that a Problem shows have secrets, user info and queries taken out.
//
// # Paths
//
// Other relative paths (state.path, ca_file, record_ids_file) start beside the
// configuration, so that they don't depend on where the archiver was started.
package config
