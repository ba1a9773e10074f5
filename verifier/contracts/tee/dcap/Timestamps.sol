// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Calendar dates as Unix seconds
library Timestamps {
    /// @notice Unix seconds of a date as decimal digits YYYYMMDDHHMMSS in one number; 0 where there is no such date,
    /// and before 1970.
    /// @dev Days by H. Hinnant's days_from_civil. A leap second is no date.
    function unix(uint256 digits) internal pure returns (uint64) {
        uint256 year = digits / 10 ** 10;
        uint256 month = digits / 10 ** 8 % 100;
        uint256 day = digits / 10 ** 6 % 100;
        uint256 clock = digits % 10 ** 6;
        if (year < 1970 || year > 9999 || month == 0 || month > 12 || day == 0 || day > _daysIn(year, month)) return 0;
        if (clock / 10_000 > 23 || clock / 100 % 100 > 59 || clock % 100 > 59) return 0;
        // March is the first month, so that a leap day is the last of its year.
        uint256 from = month > 2 ? year : year - 1;
        uint256 dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
        uint256 daysSince = from * 365 + from / 4 - from / 100 + from / 400 + dayOfYear - 719_468;
        return uint64(daysSince * 86_400 + clock / 10_000 * 3600 + clock / 100 % 100 * 60 + clock % 100);
    }

    function _daysIn(uint256 year, uint256 month) private pure returns (uint256) {
        if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
        return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
    }
}
