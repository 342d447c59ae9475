/* What Plivo and those who speak its dialect of webhooks (Vobiz) have in common. Pure. */
#ifndef CARRIER_PLIVO_HTTP_H
#define CARRIER_PLIVO_HTTP_H

#include "carrier/carrier_http.h"

/* As in struct carrier_http_ops. */
MUST_USE int plivo_read(const struct carrier_request *r, struct carrier_notice *news,
                        const char **what);
void plivo_answer(const struct carrier_answer *a, struct builder *out);
/* The body of a dial request. */
void plivo_dial_body(const struct carrier_dial *d, struct builder *out);
/* `who` names the carrier in the sentence. */
MUST_USE int plivo_request_id(const char *who, uint16_t status, struct slice body, char *call_id,
                              size_t id_bytes, char *why, size_t why_bytes);
/* Is one of the header's signatures this one? Constant time in what is secret. */
bool plivo_signature_in(struct slice header, struct slice signature);

#endif
