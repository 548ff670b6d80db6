package bucket

import (
	"net/http"
	"strings"

	"archiver/internal/fault"
)

// What a person can do about it.
const (
	hintNoBucket      = "there is no such bucket: create it, or correct storage.bucket, storage.region and storage.endpoint"
	hintNoCredentials = "check access_key_id and secret_access_key, or what the AWS SDK's chain finds (environment, profile, role)"
	hintCertificate   = "set storage.ca_file if the store has a private certificate authority"
	hintResolve       = "check storage.endpoint and storage.region; with a private store, path_style: true"
	hintClock         = "this machine's clock and the store's differ too much: synchronise the clock"
	hintFull          = "the store is full or the quota is used up: make room"
	hintListBucket    = "the key is missing or may not be read: give the role s3:ListBucket, so that the store says which"
	hintMayNotRead    = "the object is there but may not be read: give the role s3:GetObject (in a bucket that keeps versions also s3:GetObjectVersion, under SSE-KMS kms:Decrypt)"
)

// rightsFor names what a call needs (S3 API reference, "Required permissions
// for Amazon S3 API operations").
func rightsFor(op string) string {
	switch op {
	case "HeadBucket":
		return "s3:ListBucket"
	case "HeadObject", "GetObject":
		return "s3:GetObject (in a bucket that keeps versions also s3:GetObjectVersion, under SSE-KMS kms:Decrypt), and s3:ListBucket, without which a missing key is refused"
	case "DeleteObject":
		return "s3:DeleteObject (in a bucket that keeps versions also s3:DeleteObjectVersion)"
	case "AbortMultipartUpload":
		return "s3:AbortMultipartUpload"
	case "ListParts":
		return "s3:ListMultipartUploadParts"
	case "ListMultipartUploads":
		return "s3:ListBucketMultipartUploads"
	}
	return "s3:PutObject (with tags s3:PutObjectTagging, with a lock s3:PutObjectRetention, under SSE-KMS kms:GenerateDataKey and kms:Decrypt)"
}

// hintFor says in plain words what an answer calls for.
func hintFor(op string, fe *fault.Error) string {
	switch fe.Code {
	case "NoSuchBucket":
		return hintNoBucket
	case "InvalidAccessKeyId":
		return "the store does not know this access_key_id: correct it"
	case "SignatureDoesNotMatch":
		return "the secret_access_key does not fit the access_key_id: correct it"
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return "the session's credentials have expired: renew them"
	case "RequestTimeTooSkewed", "RequestExpired":
		return hintClock
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return "the bucket is in another region or at another endpoint: correct storage.region and storage.endpoint"
	case "InvalidObjectState":
		return "the object is in an archive storage class: restore it first"
	case "InvalidBucketState":
		return "the bucket has no object lock: enable it there, or clear storage.object_lock"
	case "InvalidPart", "InvalidPartOrder":
		return "the store's parts are not the recorded ones: upload the file again"
	}
	switch {
	case strings.Contains(code(fe), "quota"), strings.Contains(code(fe), "storagefull"), fe.Status == http.StatusInsufficientStorage:
		return hintFull
	case strings.HasPrefix(fe.Code, "KMS"):
		return "the key of sse_kms_key_id can't be used: check that it is enabled and that the role has kms:GenerateDataKey and kms:Decrypt"
	case fe.Kind == fault.Unauthorized && fe.Status == http.StatusMovedPermanently:
		return "the bucket is in another region or at another endpoint: correct storage.region and storage.endpoint"
	case fe.Kind == fault.Unauthorized:
		return "give the role " + rightsFor(op)
	case fe.Kind == fault.Rejected && notImplemented(fe):
		return "this store does not implement the call"
	}
	return ""
}

func code(fe *fault.Error) string { return strings.ToLower(fe.Code) }
