/*-------------------------------------------------------------------------
 *
 * name.h
 *		What name.c and name_detect.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAME_H
#define NAME_H

#include "partmgr.h"

/* the longest name of a relation, in bytes */
#define MAX_NAME (NAMEDATALEN - 1)

extern char *pm_name_fill(const char *format, const char *parent,
						  const PartKey *key, const PartGrid *grid,
						  const PartBound *bound, int max);

#endif							/* NAME_H */
