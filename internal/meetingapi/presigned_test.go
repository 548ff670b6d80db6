package meetingapi

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestExpiry(t *testing.T) {
	hmac := strings.Repeat("\xff", 20) // "/" and "+" in base64
	sign := base64.StdEncoding.EncodeToString([]byte(hmac + "a=1&b=e52&k=AKID&e=1571621615&t=1571016815&r=1&f="))
	once := base64.StdEncoding.EncodeToString([]byte(hmac + "a=1&e=0&t=1571016815"))
	tests := []struct {
		name, url string
		want      int64 // Unix seconds, 0 for none
	}{
		{"document, raw", "http://xxxxxxx.cossh.myqcloud.com/2019-05-31/1866_094309.mp4?sign=tchXRYvuIsDY46D3297KGdceQllhPTEwMDQ1OTYwJmI9ZTUyJms9QUtJRGFCeG5oWW5yUkdEM29Vc3BSN3JXMVY1WjBPaDA2dlpHJmU9MTU3MTYyMTYxNSZ0PTE1NzEwMTY4MTUmcj0xNDk2NDYwMDY4JmY9", 1571621615},
		{"document, escaped", "http://xxxxxx.cossh.myqcloud.com/2017-02-20/1866_100151.mp4?sign=/aT6y5Hbc0kD6TP%2BWqZ52LC88SthPTEwMDQ1OTYwJmI9ZTUyJms9QUtJRGFCeG5oWW5yUkdEM29Vc3BSN3JXMVY1WjBPaDA2dlpHJmU9MTU3MTYyMTYxNiZ0PTE1NzEwMTY4MTYmcj05MTc3MTM2MzgmZj0=", 1571621616},
		{"sign, padded and raw", "http://h/a?x=1&sign=" + sign, 1571621615},
		{"sign, escaped", "http://h/a?sign=" + strings.NewReplacer("/", "%2F", "+", "%2b", "=", "%3D").Replace(sign), 1571621615},
		{"sign, URL alphabet", "http://h/a?sign=" + strings.NewReplacer("/", "_", "+", "-").Replace(sign), 1571621615},
		{"sign, plus as blank", "http://h/a?sign=" + strings.ReplaceAll(sign, "+", " "), 1571621615},
		{"sign for one use", "http://h/a?sign=" + once, 0},
		{"sign, too short", "http://h/a?sign=ZT0xNTcxNjIxNjE1", 0},
		{"sign, no base64", "http://h/a?sign=!!!", 0},
		{"COS", "http://h/a?q-sign-algorithm=sha1&q-sign-time=1571016815;1571621615&q-key-time=1571016815;1571621600", 1571621600},
		{"COS, escaped", "http://h/a?q-sign-time=1571016815%3B1571621615", 1571621615},
		{"AWS version 4", "https://h/a?X-Amz-Date=20191014T013335Z&X-Amz-Expires=604800&X-Amz-Signature=x", 1571621615},
		{"AWS, other order and case", "https://h/a?x-amz-expires=604800&x-amz-date=20191014T013335Z", 1571621615},
		{"OSS version 4", "https://h/a?x-oss-date=20191014T013335Z&x-oss-expires=60", 1571016875},
		{"Google", "https://h/a?X-Goog-Date=20191014T013335Z&X-Goog-Expires=60", 1571016875},
		{"not of the same store", "https://h/a?X-Amz-Date=20191014T013335Z&x-oss-expires=60", 0},
		{"AWS version 2", "https://h/a?AWSAccessKeyId=x&Expires=1571621615&Signature=y", 1571621615},
		{"a duration", "https://h/a?Expires=3600", 0},
		{"beyond the year 9999", "https://h/a?Expires=253402300800", 0},
		{"no number", "https://h/a?Expires=soon", 0},
		{"negative", "https://h/a?X-Amz-Date=20191014T013335Z&X-Amz-Expires=-5", 0},
		{"date only", "https://h/a?X-Amz-Date=20191014T013335Z", 0},
		{"earliest wins", "https://h/a?Expires=1571621616&X-Amz-Date=20191014T013335Z&X-Amz-Expires=5", 1571016820},
		{"in the fragment", "https://h/a#?Expires=1571621615", 0},
		{"in the path", "https://h/Expires=1571621615", 0},
		{"none", "https://h/a", 0},
		{"empty", "", 0},
		{"broken escapes", "https://h/a?%zz=1&sign=%zz&Expires=1571621615", 1571621615},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := Expiry(tt.url)
			if ok != (tt.want != 0) || ok && (got.Unix() != tt.want || got.Location() != time.UTC) {
				t.Errorf("got %v, %v, want %v", got, ok, time.Unix(tt.want, 0).UTC())
			}
		})
	}
}

func TestRedactURL(t *testing.T) {
	const unreadable = "(unreadable URL)"
	tests := map[string]string{
		"http://h.example:8080/2019/a%20b.mp4?sign=S#f": "h.example:8080/2019/a%20b.mp4",
		"https://u:p@h/a":    "h/a",
		"https://u@h":        "h",
		" https://h/a ":      "h/a",
		"//u:p@h/a?x":        "h/a",
		"h/a?x":              "h/a",
		"u@h/a?x":            "h/a",
		"u@h":                "h",
		"https:///u:p@h/a":   "h/a",
		"u:p@h/a":            unreadable,
		"mailto:a@b":         unreadable,
		"http://[::1/a?x":    unreadable,
		"http://h/%zz?x":     unreadable,
		"http://h/a\x00?x":   unreadable,
		"http://h/会?x":       "h/%E4%BC%9A",
		"http://h/a%3Fsign=": "h/a%3Fsign=",
		"":                   "",
	}
	for in, want := range tests {
		if got := RedactURL(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestRedactItem(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"as it was", `{ "a":1.027797E6, "b":[12345678901234567890,-0.10,null,true], "c":"x@y.z #1 really? yes" }`, `{ "a":1.027797E6, "b":[12345678901234567890,-0.10,null,true], "c":"x@y.z #1 really? yes" }`},
		{"downUrl", `{"downUrl":"http://u:p@h/a.mp4?sign=S#f"}`, `{"downUrl":"http://h/a.mp4"}`},
		{"escaped slashes", `{"u":"http:\/\/u:p@h\/a.mp4?sign=S"}`, `{"u":"http://h/a.mp4"}`},
		{"untouched escapes", `{"u":"http:\/\/h\/a.mp4"}`, `{"u":"http:\/\/h\/a.mp4"}`},
		{"escaped question mark", `{"u":"http://h/a\u003fsign=S"}`, `{"u":"http://h/a"}`},
		{"deep", `[{"x":[{"y":"https://h/a?s"}]}]`, `[{"x":[{"y":"https://h/a"}]}]`},
		{"member name", `{"http://h/a?s":1}`, `{"http://h/a":1}`},
		{"no scheme", `{"u":"h/a.mp4?sign=S","v":"//u:p@h/a?s"}`, `{"u":"h/a.mp4","v":"//h/a"}`},
		{"in a text", `"see http://u:p@h/a?s=1 and <a href=\"https://h/b?s=2\">here</a>, ok?"`, `"see http://h/a and <a href=\"https://h/b\">here</a>, ok?"`},
		{"query with blanks", `"http://h/a?name=my file&sign=S"`, `"http://h/a"`},
		{"query with blanks in a text", `"see http://h/a?name=my big file&sign=S now"`, `"see http://h/a big  now"`},
		{"query with quotes", `"http://h/a?n=\"x\"&sign=S"`, `"http://h/a"`},
		{"JSON within", `"{\"u\":\"http:\\/\\/u:p@h\\/a?sign=S\",\"n\":1}"`, `"{\"u\":\"http:\\/\\/h\\/a\",\"n\":1}"`},
		{"JSON within, escaped more", `"{\"u\":\"http://h/a\\u003fsign\\u003dS\"}"`, `"{\"u\":\"http://h/a\"}"`},
		{"several in one word", `"(http://u:p@h/a,http://v:q@i/b)"`, `"(http://h/a,http://i/b)"`},
		{"odd user info", `"http://u@v:p@h/a"`, `"http://h/a"`},
		{"non-ASCII query", `"视频 http://h/会.mp4?名=会&sign=S"`, `"视频 http://h/会.mp4"`},
		{"HTML stays", `"<b>&http://h/a?x"`, `"<b>&http://h/a"`},
		{"no JSON", `{"u":"http://h/a?s"`, `"(unreadable item)"`},
		{"empty", ``, `"(unreadable item)"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(RedactItem([]byte(tt.in))); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestClean(t *testing.T) {
	tests := []struct{ in, auth, want string }{
		{"  a\n\tb\x00c\u202e ", "", "a b c"},
		{strings.Repeat("é", 200), "", strings.Repeat("é", 128)},
		{"x" + strings.Repeat("é", 200), "", "x" + strings.Repeat("é", 127)},
		{strings.Repeat("x", 250) + "SECRET", "SECRET", strings.Repeat("x", 250) + "<secre"},
		{"a  b", "a b", "<secret>"},
		{"k&lt;y k%3Cy k<y", "k<y", "<secret> <secret> <secret>"},
		{"tenant 800 of 1800", "800", "tenant <secret> of 1<secret>"},
	}
	for _, tt := range tests {
		if got := clean(tt.in, tt.auth); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}
