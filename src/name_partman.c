/*-------------------------------------------------------------------------
 *
 * name_partman.c
 *		pg_partman's datetime_string, which says with to_char()'s patterns what
 *		name_format says with fields.
 *
 * One of the two is what the user has written last; the other follows.  What
 * cannot be said in a pattern has none.  Pure, as name.c is.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "lib/stringinfo.h"
#include "name.h"

/* patterns of to_char() that are fields of ours, the longest of each letter first */
static const char *const patterns[] = {"YYYY", "YY", "MM", "MI", "DDD", "DD", "HH24", "SS"};

/* pg_partman 4's names of quarters and weeks, which its version 5 refuses */
static const char *const old_patterns[] = {"YYYY\"q\"Q", "IYYY\"w\"IW"};

/* take_pattern takes a pattern off a text; NULL if it does not begin with one. */
static const char *
take_pattern(const char **text)
{
	for (int i = 0; i < lengthof(patterns); i++)
	{
		size_t		len = strlen(patterns[i]);

		if (pg_strncasecmp(*text, patterns[i], len) == 0)
		{
			*text += len;
			return patterns[i];
		}
	}
	return NULL;
}

/*
 * pm_name_from_datetime translates a datetime_string into a name format; NULL, and
 * why as the end of a sentence, if there is none that means the same.
 */
char *
pm_name_from_datetime(const char *datetime, char **problem)
{
	StringInfoData buf;
	bool		quoted = false;

	*problem = NULL;
	for (int i = 0; i < lengthof(old_patterns); i++)
		if (strcmp(datetime, old_patterns[i]) == 0)
			*problem = psprintf("%s is of pg_partman before 5.0; name_format can say the same, as {parent}_p%s",
								datetime, i == 0 ? "{YYYY}q{Q}" : "{IYYY}w{IW}");
	initStringInfo(&buf);
	appendStringInfoString(&buf, "{parent}_p");
	while (*datetime != '\0' && *problem == NULL)
	{
		const char *pattern = quoted ? NULL : take_pattern(&datetime);

		if (pattern != NULL)
			appendStringInfo(&buf, "{%s}", pattern);
		else if (*datetime == '"')
		{
			quoted = !quoted;
			datetime++;
		}
		else if (*datetime == '{' || *datetime == '}')
			*problem = pstrdup("braces cannot be written in it");
		else if (!quoted && ((*datetime >= 'A' && *datetime <= 'Z') || (*datetime >= 'a' && *datetime <= 'z')))
			*problem = psprintf("\"%s\" does not begin with one of YYYY, YY, MM, DD, DDD, HH24, MI, SS", datetime);
		else
			appendStringInfoChar(&buf, *datetime++);
	}
	return *problem ? NULL : buf.data;
}

/*
 * pm_name_datetime returns the datetime_string that goes with a name format, NULL
 * for the default one: what the row has had, if it means the same, or none.
 */
const char *
pm_name_datetime(const char *format, const char *datetime, const PartKey *key,
				 const PartGrid *grid)
{
	char	   *problem;
	char	   *meant;

	if (key->axis == AXIS_ID)
		return NULL;
	if (format == NULL)
		return grid->interval.units == 0 ? "YYYYMMDD" : "YYYYMMDD_HH24MISS";
	meant = datetime ? pm_name_from_datetime(datetime, &problem) : NULL;
	return meant && strcmp(meant, format) == 0 ? datetime : NULL;
}
