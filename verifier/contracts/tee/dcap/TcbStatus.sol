// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JsonReader, StrictJson} from "./StrictJson.sol";

/// @title Intel's TCB statuses
library TcbStatus {
    uint256 internal constant UP_TO_DATE = 0;
    uint256 internal constant SW_HARDENING_NEEDED = 1;
    uint256 internal constant CONFIGURATION_NEEDED = 2;
    uint256 internal constant CONFIGURATION_AND_SW_HARDENING_NEEDED = 3;
    uint256 internal constant OUT_OF_DATE = 4;
    uint256 internal constant OUT_OF_DATE_CONFIGURATION_NEEDED = 5;
    uint256 internal constant REVOKED = 6;
    /// @notice Bits of the statuses that a policy can accept. What is out of date is accepted off chain for a time of
    /// grace at most, and no time of grace is kept here.
    uint256 internal constant ACCEPTABLE = 0x0f;

    /// @notice A status at the reader's place. Reverts with MalformedJson for one that there is not.
    function read(JsonReader memory r) internal pure returns (uint256) {
        uint256 place = r.place;
        bytes32 name = StrictJson.readString(r);
        if (name == keccak256("UpToDate")) return UP_TO_DATE;
        if (name == keccak256("SWHardeningNeeded")) return SW_HARDENING_NEEDED;
        if (name == keccak256("ConfigurationNeeded")) return CONFIGURATION_NEEDED;
        if (name == keccak256("ConfigurationAndSWHardeningNeeded")) return CONFIGURATION_AND_SW_HARDENING_NEEDED;
        if (name == keccak256("OutOfDate")) return OUT_OF_DATE;
        if (name == keccak256("OutOfDateConfigurationNeeded")) return OUT_OF_DATE_CONFIGURATION_NEEDED;
        if (name == keccak256("Revoked")) return REVOKED;
        revert StrictJson.MalformedJson(place);
    }

    /// @notice The end of a TCB level: date, status and, where there are some, advisories.
    function readRest(JsonReader memory r) internal pure returns (uint256 status) {
        StrictJson.expect(r, ',"tcbDate":', 11);
        StrictJson.readTime(r);
        StrictJson.expect(r, ',"tcbStatus":', 13);
        status = read(r);
        if (StrictJson.accept(r, ',"advisoryIDs":', 15)) StrictJson.skipAdvisories(r);
        StrictJson.expect(r, "}", 1);
    }
}
