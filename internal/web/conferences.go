package web

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"archiver/internal/apitype"
)

type conferencePath struct {
	Tenant        string `path:"tenant"`
	ConferenceKey string `path:"conference_key"`
}

type conferencesInput struct {
	Tenant string `query:"tenant"`
}

// conferenceList is what is open or unresolved.
type conferenceList struct {
	Items []apitype.Conference `json:"items"`
}

func (a *API) conferences(h huma.API) {
	at := prefix + "/conferences/{tenant}/{conference_key}"
	c := a.o.Conferences
	for _, call := range []struct {
		method, path, id, summary string
		do                        func(ctx context.Context, tenant, conferenceKey string) (apitype.Conference, error)
	}{
		{"POST", "/record", "start-record", "openRecord: start recording; never repeated by itself", c.StartRecord},
		{"DELETE", "/record", "stop-record", "closeRecord: stop recording; resolves a lost reply of openRecord", c.StopRecord},
		{"POST", "/live", "start-live", "openLive: start the live stream; the answer has its URL", c.StartLive},
		{"DELETE", "/live", "stop-live", "closeLive: end the live stream", c.StopLive},
	} {
		op := operation(call.method, at+call.path, call.id, call.summary, 403, 404, 409, 501, 502, 504)
		register(h, op, func(ctx context.Context, in *conferencePath) (*body[apitype.Conference], error) {
			out, err := call.do(ctx, in.Tenant, in.ConferenceKey)
			return &body[apitype.Conference]{Body: out}, err
		})
	}
	register(h, operation("GET", prefix+"/conferences", "list-conferences", "What is being recorded or streamed, or unresolved"),
		func(ctx context.Context, in *conferencesInput) (*body[conferenceList], error) {
			items, err := c.List(ctx, in.Tenant)
			if items == nil {
				items = []apitype.Conference{}
			}
			return &body[conferenceList]{Body: conferenceList{Items: items}}, err
		})
}
