/*-------------------------------------------------------------------------
 *
 * codec.h
 *		How key.c sees keys that only functions of the user can read: times in
 *		an identifier (UUID version 7, ULID, Snowflake).
 *
 * key.c is pure, so what calls those functions is handed to it as pointers; the
 * implementation is codec*.c.
 *
 * The raw value of such a key is its position, where the encoder makes exactly
 * this key of that.  Any other key (its tail is not the lowest one) has a handle:
 * a raw value below all positions, which codec.c knows the key of.  Handles are
 * good for the whole session, so they may go from one look at a set to another;
 * they must not be stored.  They have no order: compare raw values with
 * pm_key_compare.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_CODEC_H
#define PARTMGR_CODEC_H

#include "partmgr.h"

typedef struct PmCodec
{
	/* the column with the collation of the partition key, as SQL compares it */
	const char *column;

	/* false: the decoder finds no time in the value */
	bool		(*raw) (struct PmCodec *codec, Datum value, int64 *raw);
	bool		(*place) (struct PmCodec *codec, Datum value, int64 *pos);

	/* the next three are about raw values that there are */
	bool		(*position) (struct PmCodec *codec, int64 raw, bool round_up, int64 *pos);
	Datum		(*datum) (struct PmCodec *codec, int64 raw);
	char	   *(*text) (struct PmCodec *codec, int64 raw);

	/* by the order of the partition key; less than 0, 0, or more */
	int			(*compare) (struct PmCodec *codec, int64 a, int64 b);
} PmCodec;

/* what codec*.c know of it */
typedef struct Codec
{
	PmCodec		base;
	MemoryContext context;
	Oid			owner;			/* of the table: as whom the functions run */
	Oid			type;
	Oid			collation;		/* of the partition key */
	int16		typlen;
	bool		typbyval;
	Oid			encoder;
	Oid			decoder;
	const char *encoder_name;
	const char *decoder_name;
	bool		is_proven;		/* the decoder reads what the encoder writes */

	/* the last value that was read: where one partition ends the next begins */
	bool		has_last;
	Datum		last;
	int64		last_raw;
} Codec;

/* ---------- codec.c ---------- */
extern void pm_codec_open(Codec *codec);
extern Datum pm_codec_encode(const Codec *codec, int64 pos);
extern bool pm_codec_decode(const Codec *codec, char *text, TimestampTz *time);
extern char *pm_codec_value_text(const Codec *codec, Datum value);
extern int	pm_codec_compare(const Codec *codec, Datum a, Datum b);

#endif							/* PARTMGR_CODEC_H */
