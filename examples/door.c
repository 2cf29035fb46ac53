/*
 * A door controller in C (libsodium, libcurl, jansson): asks a device who is at its camera, verifies the answer, and opens for a
 * grant.
 *
 * sudo apt install gcc libc6-dev libsodium-dev libcurl4-openssl-dev libjansson-dev
 * cc -O2 -Wall -o door door.c -lsodium -lcurl -ljansson
 *
 * Usage: door URL DEVICE PUBLIC_KEY [in|out]
 * DEVICE and PUBLIC_KEY are from `GET /access/key`, stored when the door was set up; API_KEY in the environment is a key with the
 * scope decide. Prints "open PERSON" and exits with 0, or prints "shut: REASON" and exits with 1.
 */

#include <curl/curl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Milliseconds: how long a decision is valid after its newest frame, how long the device may take, and by how much the clocks of
 * door and device may differ. */
enum { LIFE = 2000, ANSWER = 3000, TOLERANCE = 500 };

enum { LONGEST = 8192 }; /* bytes of an answer; one with the longest names has about 2,500 */

struct answer { char text[LONGEST]; size_t length; };

static int shut(const char *reason)
{
    printf("shut: %s\n", reason);
    return 1;
}

static long long milliseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static size_t received(char *data, size_t size, size_t count, void *place)
{
    struct answer *answer = place;
    if (size * count >= LONGEST - answer->length)
        return 0;
    memcpy(answer->text + answer->length, data, size * count);
    answer->length += size * count;
    return size * count;
}

/* Posts the question; returns the HTTP status, 0 without an answer. */
static long ask(const char *url, const char *question, struct answer *answer)
{
    char place[512], key[512];
    long status = 0;
    CURL *curl = curl_easy_init();
    if (!curl)
        return 0;
    struct curl_slist *headers = NULL;
    if (getenv("API_KEY")) {
        snprintf(key, sizeof key, "Authorization: Bearer %s", getenv("API_KEY"));
        headers = curl_slist_append(headers, key);
    }
    snprintf(place, sizeof place, "%s/access/decide", url);
    curl_easy_setopt(curl, CURLOPT_URL, place);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, question);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, received);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(ANSWER + LIFE));
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}

/* The bytes of canonical base64url without padding; their number, -1 for anything else. */
static long decoded(const char *text, size_t length, unsigned char *bytes, size_t most)
{
    size_t count;
    const char *end;
    if (sodium_base642bin(bytes, most, text, length, NULL, &count, &end, sodium_base64_VARIANT_URLSAFE_NO_PADDING) ||
        end != text + length)
        return -1;
    return (long)count;
}

static const char *text_of(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* The payload of a token that the key has signed, NULL for any other. The caller frees it. */
static json_t *signed_payload(const char *token, const unsigned char *key)
{
    unsigned char signature[crypto_sign_BYTES], part[LONGEST];
    const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    json_t *header = NULL, *payload = NULL;
    long count;
    if (!second || decoded(second + 1, strlen(second + 1), signature, sizeof signature) != crypto_sign_BYTES ||
        crypto_sign_verify_detached(signature, (const unsigned char *)token, (size_t)(second - token), key))
        return NULL;
    if ((count = decoded(token, (size_t)(first - token), part, sizeof part)) >= 0)
        header = json_loadb((const char *)part, (size_t)count, 0, NULL);
    if (header && !strcmp(text_of(header, "alg"), "EdDSA") && !strcmp(text_of(header, "typ"), "face-decision") &&
        !json_object_get(header, "crit") &&
        (count = decoded(first + 1, (size_t)(second - first - 1), part, sizeof part)) >= 0)
        payload = json_loadb((const char *)part, (size_t)count, 0, NULL);
    json_decref(header);
    return payload;
}

/* What is wrong with a decision as the answer to this question; NULL when a door may act on it. */
static const char *fault(json_t *decision, const char *device, const char *nonce, const char *direction)
{
    json_t *frames = json_object_get(decision, "frames");
    long long now = milliseconds(CLOCK_REALTIME);
    long long issued = json_integer_value(json_object_get(decision, "iat_ms"));
    long long expires = json_integer_value(json_object_get(decision, "exp_ms"));
    long long seen = json_array_size(frames) ? json_integer_value(json_array_get(frames, json_array_size(frames) - 1)) : issued;
    if (json_integer_value(json_object_get(decision, "v")) != 1 || strcmp(text_of(decision, "device"), device))
        return "of another device or version";
    if (strcmp(text_of(decision, "nonce"), nonce))
        return "wrong nonce";
    if (strcmp(text_of(decision, "direction"), direction))
        return "wrong direction";
    if (now + TOLERANCE < issued || now - TOLERANCE >= expires || now - TOLERANCE >= seen + LIFE)
        return "expired, or not yet valid";
    return NULL;
}

/* Prints what is decided, and returns the exit status. */
static int act(const char *token, const unsigned char *key, const char *device, const char *nonce, const char *direction)
{
    json_t *decision = signed_payload(token, key);
    if (!decision)
        return shut("altered, or of another device");
    const char *wrong = fault(decision, device, nonce, direction);
    int status = 0;
    if (wrong || strcmp(text_of(decision, "result"), "granted"))
        status = shut(wrong ? wrong : text_of(decision, "reason"));
    else
        printf("open %s\n", text_of(decision, "person")); /* here the lock is released */
    json_decref(decision);
    return status;
}

int main(int count, char **arguments)
{
    unsigned char key[crypto_sign_PUBLICKEYBYTES], random[32];
    char nonce[sodium_base64_ENCODED_LEN(sizeof random, sodium_base64_VARIANT_URLSAFE_NO_PADDING)], question[256];
    static struct answer answer;
    const char *direction = count > 4 ? arguments[4] : "in";
    if (sodium_init() < 0 || count < 4 || decoded(arguments[3], strlen(arguments[3]), key, sizeof key) != sizeof key) {
        fputs("usage: door URL DEVICE PUBLIC_KEY [in|out]\n", stderr);
        return 2;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    randombytes_buf(random, sizeof random); /* a new nonce for each request makes each answer valid once */
    sodium_bin2base64(nonce, sizeof nonce, random, sizeof random, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    snprintf(question, sizeof question, "{\"nonce\":\"%s\",\"direction\":\"%s\"}", nonce, direction);
    long long asked = milliseconds(CLOCK_MONOTONIC);
    if (ask(arguments[1], question, &answer) != 200)
        return shut("no answer");
    json_t *document = json_loadb(answer.text, answer.length, 0, NULL);
    int late = milliseconds(CLOCK_MONOTONIC) - asked > ANSWER + LIFE;
    int status = late ? shut("late") : act(text_of(document, "token"), key, arguments[2], nonce, direction);
    json_decref(document);
    curl_global_cleanup();
    return status;
}
