package vendorsim

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Style is how an envelope is written. The zero value is the document's: code
// as a string, four spaces of indentation, message null.
type Style struct {
	TrailingCommas bool // behind the last member, as in five of the document's own samples
	NumericCode    bool // code as a number
	Compact        bool // on one line
}

func (a Style) apply(p *plan) { p.style = &a }

// Member is one member of a JSON object; Value is whatever encoding/json
// takes, or an Item.
type Member struct {
	Name  string
	Value any
}

// Item is a JSON object whose members keep their order.
type Item []Member

// Set changes the member or adds it at the end.
func (it *Item) Set(name string, value any) {
	for i := range *it {
		if (*it)[i].Name == name {
			(*it)[i].Value = value
			return
		}
	}
	*it = append(*it, Member{name, value})
}

// Drop removes a member.
func (it *Item) Drop(name string) {
	*it = slices.DeleteFunc(*it, func(m Member) bool { return m.Name == name })
}

// EditItems changes what getRecords lists, as it would be sent, in any way.
type EditItems func(items []Item) []Item

func (a EditItems) apply(p *plan) { p.edits = append(p.edits, a) }

func each(change func(it *Item)) EditItems {
	return func(items []Item) []Item {
		for i := range items {
			change(&items[i])
		}
		return items
	}
}

// WrongFileSize lists this fileSize, a JSON value such as 5, 1.5e6, "12" or
// null, for every file.
func WrongFileSize(value any) EditItems {
	return each(func(it *Item) { it.Set("fileSize", value) })
}

// WithoutMembers leaves out members of every item, such as startTime.
func WithoutMembers(names ...string) EditItems {
	return each(func(it *Item) {
		for _, n := range names {
			it.Drop(n)
		}
	})
}

// ExtraMembers adds cid, as one of the document's samples has, and an object
// that nobody knows.
func ExtraMembers() EditItems {
	return each(func(it *Item) {
		it.Set("cid", "a15fcb02-9410-471c-af47-2b368715999f")
		it.Set("unknown", Item{{"nested", []int{1, 2}}})
	})
}

// NumericIDs sends recordId and conferenceKey as numbers where they are
// decimal, as sloppier versions of the API do.
func NumericIDs() EditItems {
	return each(func(it *Item) {
		for i, m := range *it {
			s, ok := m.Value.(string)
			if _, err := strconv.ParseUint(s, 10, 63); ok && err == nil && (m.Name == "recordId" || m.Name == "conferenceKey") {
				(*it)[i].Value = json.Number(s)
			}
		}
	})
}

// ForeignIDs gives the items these recordIds in turn: ids that were not asked
// for, as in the document's sample.
func ForeignIDs(ids ...string) EditItems {
	return func(items []Item) []Item {
		for i := range items {
			items[i].Set("recordId", ids[i%len(ids)])
		}
		return items
	}
}

// absent as an envelope's data leaves the member out, as closeLive does.
type absent struct{}

// envelope writes the answer of an API call. data is an Item, []Item, nil for
// null, or absent{}.
func (st Style) envelope(code string, data any) []byte {
	var c any = code
	if st.NumericCode {
		c = json.Number(code)
	}
	state := 0
	var message any = messageOf(code)
	if code == "200" {
		state, message = 1, nil
	}
	e := Item{{"code", c}, {"data", data}, {"message", message}, {"state", state}}
	if _, ok := data.(absent); ok {
		e.Drop("data")
	}
	var b bytes.Buffer
	st.write(&b, e, 0)
	b.WriteByte('\n')
	return b.Bytes()
}

// messageOf is the document's text of a code, in its language.
func messageOf(code string) string {
	texts := map[string]string{
		"400":    "请求的参数异常。",
		"403":    "auth认证失败（auth错误；冒用他人的auth）",
		"500":    "服务器内部错误，无法完成请求。",
		"200001": "会议号和当前的认证的auth不匹配",
		"200002": "该会议已开启直播",
		"200003": "该会议已开启录制",
		"200004": "该会议不允许录制",
		"200005": "该会议不允许直播",
		"200006": "该会议还未开启",
		"200007": "该会议未开启录制",
		"200008": "该会议不存在",
	}
	return texts[code]
}

func (st Style) write(b *bytes.Buffer, v any, depth int) {
	switch v := v.(type) {
	case Item:
		st.list(b, '{', '}', len(v), depth, func(i int) {
			st.scalar(b, v[i].Name)
			b.WriteByte(':')
			if !st.Compact {
				b.WriteByte(' ')
			}
			st.write(b, v[i].Value, depth+1)
		})
	case []Item:
		st.list(b, '[', ']', len(v), depth, func(i int) { st.write(b, v[i], depth+1) })
	default:
		st.scalar(b, v)
	}
}

func (st Style) list(b *bytes.Buffer, open, end byte, n, depth int, write func(i int)) {
	b.WriteByte(open)
	for i := range n {
		if !st.Compact {
			b.WriteString("\n" + strings.Repeat("    ", depth+1))
		}
		write(i)
		if i < n-1 || st.TrailingCommas {
			b.WriteByte(',')
		}
	}
	if n > 0 && !st.Compact {
		b.WriteString("\n" + strings.Repeat("    ", depth))
	}
	b.WriteByte(end)
}

// scalar writes a value that encoding/json knows, without escaping & in URLs.
// A value that it refuses becomes null: only a test's own mistake can be one.
func (st Style) scalar(b *bytes.Buffer, v any) {
	var one bytes.Buffer
	enc := json.NewEncoder(&one)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		one.Reset()
		one.WriteString("null")
	}
	b.Write(bytes.TrimRight(one.Bytes(), "\n"))
}
