// Package objectkey turns what is known of a file into the key of its object
// in the bucket.
//
// A template is literal text with placeholders in braces:
//
//	{tenant}/{start:%Y/%m/%d}/{conference_key}/{record_id}/{filename}
//	acme/2019/05/31/881234/b04e…/1866_094309.mp4
//
// The template comes from the operator and is trusted after Parse has looked
// at it; the values come from the vendor and are not. A recording may be
// called "..", a file "a/b" or "a\x00b", and two files may differ in nothing
// but a byte that is not UTF-8. So every value goes through one encoding, with
// these properties:
//
//   - It is injective: different values give different text. What is unsafe is
//     written as %XX, byte by byte, and so is "%" itself, which therefore can't
//     occur in any other role (Parse refuses it in literal text).
//   - It never makes a path segment: "/" and "\" are encoded, and so is every
//     dot that is followed by another dot or by the end of the value. Where
//     placeholders are kept apart by "/", whole tuples of values are therefore
//     told apart too.
//   - It is never empty: an empty value is "_", and a value that is "_" is
//     "%5F". A time that isn't known is "unknown", which no strftime format
//     gives.
//   - It can be listed: control characters, line separators and noncharacters,
//     which XML 1.0 can't carry in the answer to ListObjectsV2, are encoded.
//
// Amazon S3 allows 1 to 1,024 bytes of UTF-8 per key ("Naming Amazon S3
// objects" in its user guide). A longer one is cut at its end, never within a
// character or an escape, and gets "~" and the file id before the extension:
// the file id is unique, so the cut keys are.
//
// A key is rendered once, when its file is discovered, and stored. Nothing
// here has to be undone: no key is ever parsed back into values.
package objectkey
