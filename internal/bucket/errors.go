package bucket

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"archiver/internal/fault"
)

// maxEvidence bounds, in bytes, what an error repeats of a foreign text.
const maxEvidence = 256

// errStalled is why a body that brings nothing is given up.
var errStalled = errors.New("no byte for too long")

// kindOfCode maps the error codes that don't mean what their status says, or that
// come without one (HTTP 200 with an error in the body). S3 API reference,
// "Error responses", and what MinIO, versitygw and Ceph call the same things.
func kindOfCode(code string) fault.Kind {
	switch code {
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId", "SignatureDoesNotMatch",
		"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "NotSignedUp", "InvalidSecurity", "InvalidPayer",
		"RequestTimeTooSkewed", "RequestExpired", "AuthorizationHeaderMalformed", "UnauthorizedAccess",
		"NoSuchBucket", "PermanentRedirect", "IllegalLocationConstraintException",
		"QuotaExceeded", "QuotaExceededException", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded",
		"InsufficientStorage", "StorageFull", "InvalidBucketState":
		return fault.Unauthorized
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NotFound":
		return fault.NotFound
	case "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch",
		"InvalidPart", "InvalidPartOrder":
		return fault.Corrupt
	case "PreconditionFailed":
		return fault.Exists
	case "InvalidObjectState", "NotImplemented", "MethodNotAllowed":
		return fault.Rejected
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "TooManyRequests",
		"RequestLimitExceeded", "RequestThrottled", "BandwidthLimitExceeded", "InternalError", "ServiceUnavailable",
		"RequestTimeout", "IncompleteBody", "OperationAborted", "ConditionalRequestConflict":
		return fault.Temporary
	}
	switch {
	case strings.HasPrefix(code, "KMS"):
		return fault.Unauthorized
	case strings.Contains(code, "Checksum"):
		return fault.Corrupt
	}
	return ""
}

func kindOfStatus(status int) fault.Kind {
	switch {
	case slices.Contains([]int{301, 307, 308, 401, 403, 507}, status):
		return fault.Unauthorized
	case status == http.StatusNotFound:
		return fault.NotFound
	case status == http.StatusPreconditionFailed:
		return fault.Exists
	case status == http.StatusNotImplemented, status == http.StatusMethodNotAllowed:
		return fault.Rejected
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooManyRequests:
		return fault.Temporary
	case status >= 400:
		return fault.BadRequest
	}
	return fault.Temporary // an answer that could not be read
}

// answerOf takes an SDK error apart: the HTTP status (0: no answer), the
// store's code and its words.
func answerOf(err error) (status int, code, message string) {
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.Response != nil && re.Response.Response != nil {
		status = re.HTTPStatusCode()
	}
	if ae, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = ae.ErrorCode(), ae.ErrorMessage()
	}
	if code == "UnknownError" {
		code = ""
	}
	return status, code, message
}

// retryAfterOf reads Retry-After in seconds (RFC 9110 section 10.2.3; the
// date form is not in use among S3 servers), at most an hour; 0 without one.
func retryAfterOf(err error) time.Duration {
	n, convErr := strconv.Atoi(answerHeader(err).Get("Retry-After"))
	if convErr != nil || n <= 0 {
		return 0
	}
	return time.Duration(min(n, 3600)) * time.Second
}

func answerHeader(err error) http.Header {
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.Response != nil && re.Response.Response != nil {
		return re.Response.Header
	}
	return nil
}

// classify turns what the SDK returned into the archiver's vocabulary. It is
// the only place that looks at codes and statuses. The cause is rendered, not
// wrapped: the SDK's errors carry URLs and answers in full.
func (b *Bucket) classify(ctx context.Context, op, subject string, err error) *fault.Error {
	fe := &fault.Error{Op: "s3 " + op, Subject: subject, RetryAfter: retryAfterOf(err)}
	fe.Status, fe.Code, _ = answerOf(err)
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		fe.Kind, fe.Err = fault.Canceled, context.Canceled
		return fe
	case fe.Status != 0 || fe.Code != "":
		b.classifyAnswer(fe, err)
	default:
		b.classifySilence(fe, err)
	}
	return fe
}

func (b *Bucket) classifyAnswer(fe *fault.Error, err error) {
	_, code, message := answerOf(err)
	fe.Kind = kindOfCode(code)
	if fe.Kind == "" {
		fe.Kind = kindOfStatus(fe.Status)
	}
	fe.Hint = hintFor(strings.TrimPrefix(fe.Op, "s3 "), fe)
	if region := answerHeader(err).Get("X-Amz-Bucket-Region"); region != "" && region != b.opts.Region && fe.Kind == fault.Unauthorized {
		fe.Hint = "the bucket is in region " + printable(region) + ": set storage.region to it"
	}
	var parts []string
	if fe.Status != 0 {
		parts = append(parts, strconv.Itoa(fe.Status))
	}
	if code != "" {
		parts = append(parts, printable(code))
	}
	text := strings.Join(parts, " ")
	if m := printable(b.creds.redact(message)); m != "" && m != code {
		text += ": " + m
	}
	fe.Err = errors.New(text)
}

// classifySilence is for calls without any answer.
func (b *Bucket) classifySilence(fe *fault.Error, err error) {
	fe.Kind = fault.Temporary
	var certificate *tls.CertificateVerificationError
	var resolve *net.DNSError
	switch {
	case errors.Is(err, errCredentials):
		fe.Kind, fe.Hint = fault.Unauthorized, hintNoCredentials
	case errors.As(err, &certificate):
		fe.Kind, fe.Hint = fault.Unauthorized, hintCertificate
	case errors.As(err, &resolve) && resolve.IsNotFound:
		fe.Hint = hintResolve
	}
	fe.Err = errors.New(printable(b.creds.redact(rootText(err))))
}

// rootText renders a transport error without the URL that net/http puts in
// front and the layers that the SDK does.
func rootText(err error) string {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err.Error()
	}
	if oe, ok := errors.AsType[*smithy.OperationError](err); ok {
		return oe.Err.Error()
	}
	return err.Error()
}

// printable cuts a foreign text to maxEvidence bytes of one line.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxEvidence {
		s = strings.ToValidUTF8(s[:maxEvidence-3], "") + "..."
	}
	return s
}

// local makes an error that no answer of the store stands behind.
func local(op, subject string, kind fault.Kind, text, hint string) *fault.Error {
	return &fault.Error{Op: "s3 " + op, Subject: subject, Kind: kind, Hint: hint, Err: errors.New(text)}
}

// notImplemented reports that the store knows no such header or call.
func notImplemented(fe *fault.Error) bool {
	return fe.Code == "NotImplemented" || fe.Status == http.StatusNotImplemented
}
