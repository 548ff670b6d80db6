package objectkey

import "strings"

// ContentType returns the media type by which an object is stored, judged by
// its name alone and by a table of our own: the machine's mime.types differs
// from one image to the next, and the same file must be described the same
// way everywhere. A name that says nothing is application/octet-stream
// (RFC 2046 section 4.5.1). Types are IANA's where it has registered one.
func ContentType(filename string) string {
	switch strings.ToLower(Ext(filename)) {
	case "mp4", "m4v":
		return "video/mp4"
	case "mov", "qt":
		return "video/quicktime"
	case "mkv":
		return "video/x-matroska"
	case "webm":
		return "video/webm"
	case "flv":
		return "video/x-flv"
	case "avi":
		return "video/x-msvideo"
	case "wmv":
		return "video/x-ms-wmv"
	case "mpg", "mpeg":
		return "video/mpeg"
	case "ts", "m2ts", "mts":
		return "video/mp2t"
	case "3gp":
		return "video/3gpp"
	case "m3u8":
		return "application/vnd.apple.mpegurl"
	case "mpd":
		return "application/dash+xml"
	case "m4a":
		return "audio/mp4"
	case "mp3":
		return "audio/mpeg"
	case "aac":
		return "audio/aac"
	case "wav":
		return "audio/wav"
	case "ogg", "oga", "opus":
		return "audio/ogg"
	case "flac":
		return "audio/flac"
	case "amr":
		return "audio/amr"
	default:
		return documentType(filename)
	}
}

// documentType knows what accompanies a recording: captions, transcripts,
// slides and pictures.
func documentType(filename string) string {
	switch strings.ToLower(Ext(filename)) {
	case "vtt":
		return "text/vtt"
	case "srt":
		return "application/x-subrip"
	case "txt", "log":
		return "text/plain; charset=utf-8"
	case "csv":
		return "text/csv"
	case "html", "htm":
		return "text/html"
	case "json":
		return "application/json"
	case "xml":
		return "application/xml"
	case "pdf":
		return "application/pdf"
	case "zip":
		return "application/zip"
	case "gz":
		return "application/gzip"
	case "docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case "xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case "pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case "jpg", "jpeg":
		return "image/jpeg"
	case "png":
		return "image/png"
	case "gif":
		return "image/gif"
	case "webp":
		return "image/webp"
	case "svg":
		return "image/svg+xml"
	default:
		return "application/octet-stream"
	}
}
