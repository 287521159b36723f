"""A bucket in memory behind Signature Version 4, checked as strictly as the specification allows ("Authenticating Requests:
Using the Authorization Header", Amazon S3 API reference): what is not signed, or not as it was signed, is refused."""
import datetime
import hashlib
import hmac
import http.server
import re
import threading
import urllib.parse

AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})")


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class S3Server:
    def __init__(self, bucket, access="AKEXAMPLE", secret="not/a+secret", token=None, region="us-east-1", conditions=True):
        self.bucket, self.access, self.secret, self.token, self.region = bucket, access, secret, token, region
        self.conditions = conditions
        self.store, self.log, self.lock = {}, [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            outer = self
            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = lambda handler: handler.outer.answer(handler)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def environment(self):
        env = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret,
               "AWS_REGION": self.region}
        return env | ({"AWS_SESSION_TOKEN": self.token} if self.token else {})

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def refusal(self, request, body):
        """(status, code) of what is wrong with a request, or None."""
        found = AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if not found:
            return 403, "AccessDenied"
        access, day, region, signed, signature = found.groups()
        signed = signed.split(";")
        stamp = request.headers.get("x-amz-date", "")
        try:
            age = datetime.datetime.utcnow() - datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
        except ValueError:
            return 403, "AccessDenied"
        if not stamp.startswith(day) or abs(age.total_seconds()) > 900:
            return 403, "RequestTimeTooSkewed"
        if access != self.access:
            return 403, "InvalidAccessKeyId"
        if region != self.region:
            return 400, "AuthorizationHeaderMalformed"
        if self.token and request.headers.get("x-amz-security-token") != self.token:
            return 403, "InvalidToken"
        names = [name.lower() for name in request.headers]
        must = {"host", *(name for name in names if name.startswith("x-amz-"))}
        if signed != sorted(signed) or not must <= set(signed) or len(names) != len(set(names)) or not set(signed) <= set(names):
            return 403, "SignatureDoesNotMatch"
        payload = request.headers.get("x-amz-content-sha256", "")
        if payload != hashlib.sha256(body).hexdigest():
            return 400, "XAmzContentSHA256Mismatch"
        url = urllib.parse.urlsplit(request.path)
        path = urllib.parse.quote(urllib.parse.unquote(url.path), safe="/-_.~")
        pairs = sorted((urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                       for k, v in urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        lines = [request.command, path, "&".join(f"{k}={v}" for k, v in pairs)]
        lines += [f"{name}:{' '.join(request.headers[name].split())}" for name in signed] + ["", ";".join(signed), payload]
        scope = f"{day}/{region}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
        key = ("AWS4" + self.secret).encode()
        for part in (day, region, "s3", "aws4_request"):
            key = digest(key, part)
        if path != url.path or not hmac.compare_digest(digest(key, to_sign).hex(), signature):
            return 403, "SignatureDoesNotMatch"
        return None

    def answer(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        name = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path)
        wrong = self.refusal(request, body)
        with self.lock:
            status, reply = self.act(request, name, body) if not wrong else (wrong[0], self.error(wrong[1]))
            self.log.append((request.command, name, status, wrong[1] if wrong else ""))
        request.send_response(status)
        request.send_header("Content-Length", str(len(reply)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(reply)

    @staticmethod
    def error(code):
        return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode()

    def act(self, request, name, body):
        if not name.startswith(f"/{self.bucket}/"):
            return 404, self.error("NoSuchBucket")
        if request.command == "PUT":
            condition = request.headers.get("If-None-Match")
            if condition and not self.conditions:
                return 501, self.error("NotImplemented")
            if condition == "*" and name in self.store:
                return 412, self.error("PreconditionFailed")
            self.store[name] = body
            return 200, b""
        if request.command not in ("GET", "HEAD"):
            return 405, self.error("MethodNotAllowed")
        return (200, self.store[name]) if name in self.store else (404, self.error("NoSuchKey"))
