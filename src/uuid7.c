/*-------------------------------------------------------------------------
 *
 * uuid7.c
 *		The time in a UUID of version 7: its first 48 bits, milliseconds since
 *		1970.
 *
 * Pure functions of their argument, and marked so: a query that calls the encoder
 * for a time reads only the partitions it needs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "key.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(partmgr_uuid7_time_encoder);
PG_FUNCTION_INFO_V1(partmgr_uuid7_time_decoder);

#define TIME_BYTES 6
#define USECS_PER_MSEC 1000

/*
 * partmgr_uuid7_time_encoder(ts) returns the lowest UUID that has this time in it,
 * as pg_partman's function: all behind the time is zero, the version, too.
 *
 * Errors: 22008 for a time before 1970, after 48 bits of milliseconds, or infinite.
 */
Datum
partmgr_uuid7_time_encoder(PG_FUNCTION_ARGS)
{
	TimestampTz ts = PG_GETARG_TIMESTAMPTZ(0);
	pg_uuid_t  *uuid = palloc0(sizeof(pg_uuid_t));
	int64		msecs;

	/* infinity is far from what 48 bits can hold, but must not overflow before */
	if (TIMESTAMP_NOT_FINITE(ts) || (msecs = floor_div(ts + UNIX_USECS, USECS_PER_MSEC)) < 0 ||
		msecs >= INT64CONST(1) << (TIME_BYTES * BITS_PER_BYTE))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a UUID of version 7 cannot hold the time %s", timestamptz_to_str(ts))));
	for (int i = TIME_BYTES - 1; i >= 0; i--)
	{
		uuid->data[i] = (unsigned char) (msecs & 0xFF);
		msecs >>= BITS_PER_BYTE;
	}
	PG_RETURN_UUID_P(uuid);
}

/*
 * partmgr_uuid7_time_decoder(uuidv7) returns the time in the text of a UUID.  Of
 * version 0 and 15 are the lowest and the highest one of a time, which are found as
 * bounds.
 *
 * Errors: 22P02, no UUID; 22023, one of another version, which has no time in it, or
 * one that is somewhere else.
 */
Datum
partmgr_uuid7_time_decoder(PG_FUNCTION_ARGS)
{
	char	   *input = text_to_cstring(PG_GETARG_TEXT_PP(0));
	pg_uuid_t  *uuid = DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(input)));
	int			version = uuid->data[TIME_BYTES] >> 4;
	int64		msecs = 0;

	if (version != 7 && version != 0 && version != 15)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("UUID \"%s\" is of version %d, not 7", input, version)));
	for (int i = 0; i < TIME_BYTES; i++)
		msecs = (msecs << BITS_PER_BYTE) | uuid->data[i];
	PG_RETURN_TIMESTAMPTZ(msecs * USECS_PER_MSEC - UNIX_USECS);
}
