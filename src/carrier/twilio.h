/* Twilio Media Streams, the parts that tests look at one by one; everybody else goes through the
 * ops `carrier_twilio`. Pure, shard threads. */
#ifndef CARRIER_TWILIO_H
#define CARRIER_TWILIO_H

#include "carrier/carrier.h"

extern const struct carrier_ops carrier_twilio;

/* The one-pass parser of the `media` message alone: true and a MEDIA event (order not yet looked
 * at), or false for whatever it does not vouch for, which then goes through twilio_parse_any. It
 * vouches only where both would say the same. Does not change `c`. */
bool twilio_parse_media(const struct carrier *c, struct slice message, void *audio,
                        size_t audio_bytes, struct carrier_event *ev);
/* The same of the echo of a mark: true and a MARK event. */
bool twilio_parse_mark(const struct carrier *c, struct slice message, struct carrier_event *ev);
/* Any message, by way of base/json. */
void twilio_parse_any(struct carrier *c, struct slice message, void *audio, size_t audio_bytes,
                      struct carrier_event *ev);

#endif
