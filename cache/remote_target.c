#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/remote_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"

static const char *setting(const char *name, const char *other) {
    const char *value = getenv(name);
    if (value && value[0]) {
        return value;
    }
    return other ? setting(other, NULL) : NULL;
}

/* Characters that need no encoding in a URL's path: what is signed is then what is sent. */
static bool is_plain(const char *text) {
    return text[strspn(text,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~/")] ==
           '\0';
}

/* Takes it as it stands, without slashes at its end. */
static char *without_slash(const char *text) {
    size_t length = strlen(text);
    while (length && text[length - 1] == '/') {
        length--;
    }
    return us_strndup(text, length);
}

static struct us_error *check_http(const char *url, const char *what) {
    const char *host = strstr(url, "://") + 3;
    size_t length = strcspn(host, "/?#");
    if (memchr(host, '@', length)) {
        return us_error_hint(us_fail(US_USAGE, "%s has a user or password in it", what),
                             "put them into a netrc file, ~/.netrc or $UNDERSTUDY_REMOTE_NETRC");
    }
    if (!length || strpbrk(url, "?# \t\n\"<>\\^`{|}")) {
        return us_fail(US_USAGE, "%s is '%s', wanted http://HOST/PATH without a query", what, url);
    }
    return NULL;
}

static bool is_http(const char *url) {
    return us_str_starts(url, "http://") || us_str_starts(url, "https://");
}

static struct us_error *read_endpoint(const char *region, char **endpoint) {
    const char *given = setting("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
    if (!given) {
        struct us_str url = {0};
        us_str_printf(&url, "https://s3.%s.amazonaws.com", region);
        *endpoint = us_str_take(&url);
        return NULL;
    }
    if (!is_http(given)) {
        return us_fail(US_USAGE, "$AWS_ENDPOINT_URL is '%s', wanted http://... or https://...",
                       given);
    }
    US_TRY(check_http(given, "$AWS_ENDPOINT_URL"));
    *endpoint = without_slash(given);
    return NULL;
}

static struct us_error *read_s3(const char *url, struct remote_target *target) {
    const char *access = setting("AWS_ACCESS_KEY_ID", NULL);
    const char *secret = setting("AWS_SECRET_ACCESS_KEY", NULL);
    const char *token = setting("AWS_SESSION_TOKEN", NULL);
    const char *region = setting("AWS_REGION", "AWS_DEFAULT_REGION");
    region = region ? region : "us-east-1";
    char *bucket = without_slash(url + 5), *endpoint = NULL;
    struct us_error *error = NULL;
    if (!bucket[0] || bucket[0] == '/' || !is_plain(bucket) || strstr(bucket, "//") ||
        strstr(bucket, "/.")) {
        error = us_error_hint(us_fail(US_USAGE, "the remote cache is '%s'", url),
                              "s3://BUCKET/PREFIX, of letters, digits and -_.~ only");
    } else if (!access || !secret) {
        error = us_fail(US_USAGE, "the remote cache '%s' needs $%s", url,
                        access ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    } else if (strpbrk(region, ":/ ") || strchr(access, ':')) {
        error = us_fail(US_USAGE, "$AWS_REGION or $AWS_ACCESS_KEY_ID is not one");
    } else {
        error = read_endpoint(region, &endpoint);
    }
    if (!error) {
        struct us_str text = {0};
        us_str_printf(&text, "%s/%s", endpoint, bucket);
        target->base = us_str_take(&text);
        us_str_printf(&text, "aws:amz:%s:s3", region);
        target->signing = us_str_take(&text);
        us_str_printf(&text, "%s:%s", access, secret);
        target->keys = us_str_take(&text);
        target->session_token = token ? us_strdup(token) : NULL;
        target->s3 = true;
    }
    us_free(bucket);
    us_free(endpoint);
    return error;
}

static struct us_error *read_http(const char *url, struct remote_target *target) {
    US_TRY(check_http(url, "the remote cache's URL"));
    const char *netrc = setting("UNDERSTUDY_REMOTE_NETRC", NULL);
    if (netrc && access(netrc, R_OK) != 0) {
        return us_fail(US_USAGE, "$UNDERSTUDY_REMOTE_NETRC is '%s', which cannot be read", netrc);
    }
    target->netrc = netrc ? us_strdup(netrc) : NULL;
    target->base = without_slash(url);
    return NULL;
}

/* libcurl knows where one distribution keeps them; a bundle runs on others too. */
static const char *find_certificates(void) {
    static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt",
                                         "/etc/pki/tls/certs/ca-bundle.crt",
                                         "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
    const char *given = setting("SSL_CERT_FILE", NULL);
    for (size_t i = 0; !given && i < sizeof places / sizeof *places; i++) {
        given = access(places[i], R_OK) == 0 ? places[i] : NULL;
    }
    return given;
}

struct us_error *remote_target_read(const char *url, struct remote_target *target) {
    *target = (struct remote_target){0};
    struct us_error *error;
    if (us_str_starts(url, "s3://")) {
        error = read_s3(url, target);
    } else if (is_http(url)) {
        error = read_http(url, target);
    } else {
        error =
            us_fail(US_USAGE,
                    "the remote cache is '%s', allowed http://..., https://... and s3://...", url);
    }
    const char *proxy = setting("UNDERSTUDY_REMOTE_PROXY", NULL);
    const char *certificates = find_certificates();
    target->proxy = us_strdup(proxy ? proxy : "");
    target->certificates = certificates ? us_strdup(certificates) : NULL;
    target->shown = without_slash(url);
    if (error) {
        remote_target_finish(target);
    }
    return error;
}

void remote_target_finish(struct remote_target *target) {
    us_free(target->base);
    us_free(target->shown);
    us_free(target->signing);
    us_free(target->keys);
    us_free(target->session_token);
    us_free(target->netrc);
    us_free(target->proxy);
    us_free(target->certificates);
    *target = (struct remote_target){0};
}
